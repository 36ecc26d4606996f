import type { Option } from './config-option.ts';

/** Sessions and authentication (spec: http-auth-accounts.md, section 7.2). */
export const sessionOptions = [
  {
    key: 'session.encryption_key',
    type: 'string',
    default: 'defaultencryptionkey',
    minLength: 1,
    secret: true,
    insecureDefault: true,
    description: 'Key that signs session tokens.',
  },
  {
    key: 'session.token_expiry_sec',
    type: 'int',
    default: 60,
    min: 1,
    description: 'Life of a session token in seconds.',
  },
  {
    key: 'session.refresh_encryption_key',
    type: 'string',
    default: 'defaultrefreshencryptionkey',
    minLength: 1,
    secret: true,
    insecureDefault: true,
    description: 'Key that signs refresh tokens; must differ from session.encryption_key.',
  },
  {
    key: 'session.refresh_token_expiry_sec',
    type: 'int',
    default: 3600,
    min: 1,
    description: 'Life of a refresh token in seconds.',
  },
  {
    key: 'session.single_socket',
    type: 'bool',
    default: false,
    description: 'One socket per user: a new one closes the older ones.',
  },
  {
    key: 'session.single_match',
    type: 'bool',
    default: false,
    description: 'One match per user: joining one leaves the others. Needs session.single_socket.',
  },
  {
    key: 'session.single_party',
    type: 'bool',
    default: false,
    description: 'One party per user: joining one leaves the others. Needs session.single_socket.',
  },
  {
    key: 'session.single_session',
    type: 'bool',
    default: false,
    description: 'A new login makes the user’s older tokens invalid.',
  },
  {
    key: 'auth.bcrypt_cost',
    type: 'int',
    default: 13,
    min: 4,
    max: 20,
    description: 'Cost of password hashes; each step doubles the time that a login takes.',
  },
] as const satisfies readonly Option[];
