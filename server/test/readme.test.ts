import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { firstClient } from '../app/welcome.ts';
import { serverKey, startTestNode } from '../testing/node.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

it("runs the README's first client, which the server prints as well", async () => {
  const readme = await readFile(`${root}/README.md`, 'utf8');
  const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? '';
  expect(example).toBe(firstClient(serverKey, 7350));

  const node = await startTestNode();
  // Below node_modules, so that the example finds the packages that a reader would have installed.
  const folder = `${root}/node_modules/.cache/muster`;
  const file = `${folder}/hello-${process.pid}.mjs`;
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(file, example.replace("'7350'", `'${node.port}'`));
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 20_000 });
    expect(stdout).toBe('player1 says Hello!\n');
  } finally {
    await rm(file, { force: true });
    await node.stop();
  }
});
