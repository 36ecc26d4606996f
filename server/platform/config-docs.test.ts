import { expect, it } from 'vitest';
import { configurationDocs, helpText } from './config-docs.ts';
import type { Option } from './config-option.ts';
import { ignoredKeys, options, plannedKeys } from './config-options.ts';
import { environmentName, isOptionKey } from './config-sources.ts';

it('matches docs/configuration.md', async () => {
  await expect(configurationDocs()).toMatchFileSnapshot('../../docs/configuration.md');
});

it('lists every option in the help', () => {
  const help = helpText();
  for (const { key, description } of options as readonly Option[]) {
    expect(help).toContain(`--${key} <`);
    expect(help.replace(/\s+/g, ' ')).toContain(description.replace(/\s+/g, ' '));
  }
  expect(help).toContain('--auth.bcrypt_cost <int 4-20>  (default 13)');
});

it('has consistent options', () => {
  const planned = Object.entries(plannedKeys).flatMap(([group, names]) => names.map((name) => `${group}.${name}`));
  const keys = [...options.map(({ key }) => key), ...Object.keys(ignoredKeys), ...planned];
  expect(new Set(keys).size).toBe(keys.length);
  expect(new Set(keys.map(environmentName)).size).toBe(keys.length);
  for (const option of options as readonly Option[]) {
    expect(option.key.split('.').length).toBeLessThanOrEqual(3);
    expect(isOptionKey(option.key)).toBe(true);
    if (option.insecureDefault) expect(option.secret).toBe(true);
    if (option.type === 'enum') expect(option.choices).toContain(option.default);
    if (option.type === 'int') {
      expect(option.default).toBeGreaterThanOrEqual(option.min);
      expect(option.default).toBeLessThanOrEqual(option.max ?? Number.MAX_SAFE_INTEGER);
    }
  }
});
