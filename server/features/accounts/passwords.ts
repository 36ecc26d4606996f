import bcrypt from 'bcrypt';
import { Semaphore } from '../../platform/semaphore.ts';

export interface PasswordOptions {
  /** bcrypt cost, 13 by default: about half a second of one core. */
  readonly cost: number;
  readonly concurrent: number;
  readonly queued: number;
}

/** Hashes and checks passwords on bcrypt's own threads, a bounded number at a time. */
export class Passwords {
  readonly #cost: number;
  readonly #slots: Semaphore;

  constructor({ cost, concurrent, queued }: PasswordOptions) {
    this.#cost = cost;
    this.#slots = new Semaphore(concurrent, queued);
  }

  /** The bcrypt hash as stored in `users.password`. Throws RESOURCE_EXHAUSTED when too many wait. */
  async hash(password: string): Promise<Buffer> {
    return this.#slots.run(async () => {
      const salt = await bcrypt.genSalt(this.#cost, 'a');
      return Buffer.from(await bcrypt.hash(password, salt));
    });
  }

  /** Does the password match the stored hash? False when there is no hash. */
  async matches(password: string, stored: Buffer | null): Promise<boolean> {
    if (stored === null || stored.length === 0) return false;
    return this.#slots.run(() => bcrypt.compare(password, stored.toString('latin1')));
  }
}
