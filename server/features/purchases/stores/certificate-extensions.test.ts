import { expect, it } from 'vitest';
import { issueCertificate } from '../../../testing/certificates.ts';
import { Random } from '../../../testing/random.ts';
import { extensionIds } from './certificate-extensions.ts';

const marked = issueCertificate({ name: 'Marked', ca: true, marks: ['1.2.840.113635.100.6.2.1', '2.5.29.99'] });

it('finds the extensions of a certificate', () => {
  expect(extensionIds(marked.der)).toEqual(['551d13', '2a864886f76364060201', '551d63']);
  expect(extensionIds(issueCertificate({ name: 'Plain' }).der)).toEqual([]);
});

it('does not take the name of a certificate for one', () => {
  const name = Buffer.from('06 0a 2a 86 48 86 f7 63 64 06 02 01'.replaceAll(' ', ''), 'hex').toString('latin1');
  expect(extensionIds(issueCertificate({ name }).der)).toEqual([]);
});

it('refuses what is broken, or finds nothing in it, and always ends', () => {
  expect(extensionIds(Buffer.alloc(0))).toEqual([]);
  for (const hex of ['30', '3080', '308400ffffff', '3005', '30890000000000000000ff']) {
    expect(() => extensionIds(Buffer.from(hex, 'hex')), hex).toThrow(RangeError);
  }
  const random = new Random(3);
  for (let time = 0; time < 2000; time++) {
    const damaged = Buffer.from(marked.der);
    for (let count = 1 + random.below(4); count > 0; count--) damaged[random.below(damaged.length)] = random.below(256);
    try {
      expect(extensionIds(damaged).length).toBeLessThan(damaged.length);
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
    }
  }
});
