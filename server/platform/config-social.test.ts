import { describe, expect, it } from 'vitest';
import { ConfigError, configFrom, loadConfig } from './config.ts';
import { googleCredentials, oidcProviders } from './config-social.ts';

const provider = { name: 'keycloak', issuer: 'https://id.example.com/realms/game', audiences: ['game'] };

const problemsOf = (run: () => unknown): readonly string[] => {
  try {
    run();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

describe('OpenID providers', () => {
  it('are read from JSON, with usual claims unless told otherwise', () => {
    const claims = { id: 'uid', username: 'preferred_username', display_name: '', email: '' };
    const second = { ...provider, name: 'two', jwks_uri: 'https://id.example.com/keys', claims };
    expect(oidcProviders(JSON.stringify([provider, second]))).toEqual([
      {
        ...provider,
        jwksUri: '',
        claims: { id: 'sub', username: '', displayName: 'name', avatarUrl: 'picture', email: 'email' },
      },
      {
        ...provider,
        name: 'two',
        jwksUri: 'https://id.example.com/keys',
        claims: { id: 'uid', username: 'preferred_username', displayName: '', avatarUrl: 'picture', email: '' },
      },
    ]);
    expect(oidcProviders('')).toEqual([]);
  });

  it('may stand in a YAML file as they are', () => {
    const text = `
dev: true
social:
  oidc_providers:
    - name: keycloak
      issuer: https://id.example.com/realms/game
      audiences: [game, 0123]
      claims: {username: preferred_username}
`;
    const { config } = loadConfig({ argv: ['--config', 'a.yml'], env: {}, readFile: () => text });
    expect(oidcProviders(config.social.oidc_providers)).toMatchObject([
      { name: 'keycloak', audiences: ['game', '0123'], claims: { id: 'sub', username: 'preferred_username' } },
    ]);
  });

  const broken: [unknown, string][] = [
    [{}, 'must be a list'],
    [['x'], 'must have a provider be an object'],
    [[{ ...provider, name: 'Key Cloak' }], 'must name each provider in'],
    [[{ ...provider, issuer: 'id.example.com' }], 'must give keycloak an issuer'],
    [[{ ...provider, audiences: [] }], 'must give keycloak audiences'],
    [[{ ...provider, audiences: 'game' }], 'must give keycloak audiences'],
    [[{ ...provider, jwks_uri: 'keys' }], 'must give keycloak a jwks_uri'],
    [[{ ...provider, audience: 'x' }], 'knows name, issuer, audiences, jwks_uri, claims of a provider'],
    [[{ ...provider, claims: { sub: 'x' } }], 'knows id, username,'],
    [[{ ...provider, claims: { id: '' } }], 'must say which claim is the id'],
    [[provider, provider], 'must not hold one name twice'],
  ];
  it.each(broken)('%j', (value, problem) => {
    const run = () => configFrom({ 'social.oidc_providers': JSON.stringify(value) });
    expect(problemsOf(run)).toEqual([expect.stringContaining(`social.oidc_providers ${problem}`)]);
  });

  it('that are no JSON', () => {
    const run = () => configFrom({ 'social.oidc_providers': '[secret' });
    expect(problemsOf(run)).toEqual(['social.oidc_providers must be JSON (override social.oidc_providers)']);
  });

  it('have to use https outside dev', () => {
    const value = JSON.stringify([{ ...provider, issuer: 'http://id.example.com' }]);
    expect(problemsOf(() => configFrom({ 'social.oidc_providers': value }))).toEqual([]);
    const argv = ['--social.oidc_providers', value];
    expect(problemsOf(() => loadConfig({ argv, env: {}, needsSecrets: false }))).toEqual([
      'social.oidc_providers must use https for keycloak',
    ]);
  });
});

describe('credentials of Google', () => {
  const web = { client_id: 'id', client_secret: 'hunter2', redirect_uris: ['https://example.com/back'] };

  it('are those of a web client or an installed one', () => {
    const expected = {
      clientId: 'id',
      clientSecret: 'hunter2',
      tokenUri: 'https://oauth2.googleapis.com/token',
      redirectUri: 'https://example.com/back',
    };
    expect(googleCredentials(JSON.stringify({ web }))).toEqual(expected);
    const installed = { ...web, redirect_uris: undefined, token_uri: 'https://example.com/token' };
    expect(googleCredentials(JSON.stringify({ installed }))).toEqual({
      ...expected,
      tokenUri: 'https://example.com/token',
      redirectUri: '',
    });
    expect(googleCredentials('')).toBeNull();
  });

  it.each([{}, { web: 1 }, { web: { client_id: 'id' } }, { web: { ...web, token_uri: 'x' } }])('%j', (value) => {
    const [problem, ...others] = problemsOf(() =>
      configFrom({ 'google_auth.credentials_json': JSON.stringify(value) }),
    );
    expect(problem).toMatch(/^google_auth.credentials_json must h/);
    expect(problem).not.toContain('hunter2');
    expect(others).toEqual([]);
  });

  it('stay secret, as those of Steam do, in their group', () => {
    const config = configFrom({
      'google_auth.credentials_json': JSON.stringify({ web }),
      'social.steam.publisher_key': 'hunter2',
      'social.steam.app_id': 5,
    });
    expect(config.social.steam.publisher_key).toBe('hunter2');
    for (const shown of [config, config.social, config.social.steam, config.google_auth]) {
      expect(JSON.stringify(shown)).not.toContain('hunter2');
      expect(JSON.stringify(shown)).toContain('REDACTED');
    }
    expect(config.toJSON()).toMatchObject({ social: { steam: { publisher_key: 'REDACTED', app_id: 5 } } });
    expect(() => Object.assign(config.social.steam, { app_id: 1 })).toThrow(TypeError);
  });
});

it('refuses routes that are none', () => {
  expect(problemsOf(() => configFrom({ 'outbound.routes': ['x'] }))).toEqual([
    expect.stringMatching(/^outbound\.routes must be of the form/),
  ]);
});
