import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../platform/clock.ts';
import { issueCertificate, type TestCertificate } from '../../../testing/certificates.ts';
import { AppleSignatures, openEnclosed } from './apple-signatures.ts';

const leafMark = '1.2.840.113635.100.6.11.1';
const issuerMark = '1.2.840.113635.100.6.2.1';

const fingerprint = ({ der }: TestCertificate): string => new X509Certificate(der).fingerprint256;
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

interface Chain {
  root: TestCertificate;
  issuer: TestCertificate;
  leaf: TestCertificate;
}

const root = issueCertificate({ name: 'Root', curve: 'secp384r1', ca: true });
const issuer = issueCertificate({ name: 'Issuer', issuer: root, curve: 'secp384r1', ca: true, marks: [issuerMark] });
const leaf = issueCertificate({ name: 'Leaf', issuer, marks: [leafMark] });
const genuine: Chain = { root, issuer, leaf };

function signed(chain: Chain, payload: unknown, header: object = {}): string {
  const x5c = [chain.leaf, chain.issuer, chain.root].map(({ der }) => der.toString('base64'));
  const text = `${encode({ alg: 'ES256', x5c, ...header })}.${encode(payload)}`;
  const signature = sign('sha256', Buffer.from(text), { key: chain.leaf.key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

describe('signatures of the App Store', () => {
  const clock = new ManualClock(Date.now());
  const signatures = new AppleSignatures([fingerprint(root)], clock);
  const open = (jws: string) => signatures.open(jws);

  it('open what a trusted root vouches for, in either spelling of its fingerprint', () => {
    // All characters that differ between the two alphabets of base64.
    const payload = { transactionId: '1', text: '>>>???ÿÿÿ~~~' };
    expect(open(signed(genuine, payload))).toEqual(payload);
    const bare = new AppleSignatures([fingerprint(root).replaceAll(':', '').toLowerCase()], clock);
    expect(bare.open(signed(genuine, payload))).toEqual(payload);
  });

  it('do not hold for another payload, header or signature', () => {
    const [header = '', payload = '', signature = ''] = signed(genuine, { productId: 'sword' }).split('.');
    const wrong = 'JWS verification failed: its signature is wrong';
    expect(() => open(`${header}.${encode({ productId: 'crown' })}.${signature}`)).toThrow(wrong);
    const other = signed(genuine, { productId: 'sword' }, { typ: 'JWT' }).split('.')[0];
    expect(() => open(`${other}.${payload}.${signature}`)).toThrow(wrong);
    expect(() => open(`${header}.${payload}.${'A'.repeat(86)}`)).toThrow(wrong);
    expect(() => open(`${header}.${payload}.${signature}AAAA`)).toThrow(wrong);
    expect(() => open(`${header}.${payload}.`)).toThrow(wrong);
  });

  it('are ES256 and nothing else', () => {
    for (const alg of ['none', 'HS256', 'RS256', 'ES384', undefined]) {
      expect(() => open(signed(genuine, {}, { alg })), String(alg)).toThrow('its algorithm is not ES256');
    }
    const wide = issueCertificate({ name: 'Wide', issuer, curve: 'secp384r1', marks: [leafMark] });
    expect(() => open(signed({ ...genuine, leaf: wide }, {}))).toThrow('its key is not one of ES256');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const forged = { ...genuine, leaf: { ...leaf, key: privateKey } };
    expect(() => open(signed(forged, {}))).toThrow('its signature is wrong');
  });

  const untrusted = 'its root certificate is not trusted';
  const noChain = 'its certificates do not form a chain';
  const notTheirs = 'its certificates are not those of the App Store';
  const otherRoot = issueCertificate({ name: 'Root', curve: 'secp384r1', ca: true });
  const otherIssuer = issueCertificate({ name: 'Issuer', issuer: otherRoot, ca: true, marks: [issuerMark] });
  const noCa = issueCertificate({ name: 'No CA', issuer: root, marks: [issuerMark, leafMark] });
  const plain = issueCertificate({ name: 'Plain', issuer: root, ca: true });
  const ofOther = issueCertificate({ name: 'Leaf', issuer: otherIssuer, marks: [leafMark] });

  it.each<[what: string, chain: Chain, message: string]>([
    ['of another root', { root: otherRoot, issuer: otherIssuer, leaf: ofOther }, untrusted],
    ['that end in the trusted root, and do not come from it', { root, issuer: otherIssuer, leaf: ofOther }, noChain],
    ['of another issuer of that name', { root, issuer, leaf: ofOther }, noChain],
    [
      'of an issuer who may not issue',
      { root, issuer: noCa, leaf: issueCertificate({ name: 'L', issuer: noCa, marks: [leafMark] }) },
      noChain,
    ],
    [
      'of an issuer for something else',
      { root, issuer: plain, leaf: issueCertificate({ name: 'L', issuer: plain, marks: [leafMark] }) },
      notTheirs,
    ],
    ['for something else', { root, issuer, leaf: issueCertificate({ name: 'L', issuer }) }, notTheirs],
    [
      'with the marks exchanged',
      { root, issuer, leaf: issueCertificate({ name: 'L', issuer, marks: [issuerMark] }) },
      notTheirs,
    ],
  ])('refuse certificates %s', (_what, chain, message) => {
    expect(() => open(signed(chain, {}))).toThrow(`JWS verification failed: ${message}`);
  });

  it('refuse certificates before and after their time', () => {
    const day = 86_400_000;
    const over = { validFrom: clock.now() - 2 * day, validTo: clock.now() - day };
    const early = { validFrom: clock.now() + day, validTo: clock.now() + 2 * day };
    for (const time of [over, early]) {
      const late = issueCertificate({ name: 'Leaf', issuer, marks: [leafMark], ...time });
      expect(() => open(signed({ ...genuine, leaf: late }, {}))).toThrow('its certificates have expired');
    }
    // Also those that were good before.
    const passing = new ManualClock(clock.now());
    const then = new AppleSignatures([fingerprint(root)], passing);
    expect(then.open(signed(genuine, {}))).toEqual({});
    passing.advance(2 * day);
    expect(() => then.open(signed(genuine, {}))).toThrow('its certificates have expired');
  });

  it('stay good however many others there are, and prove nothing for chains that share certificates', () => {
    for (let count = 0; count < 250; count++) {
      const other = issueCertificate({ name: `Leaf ${count}`, issuer, marks: [leafMark] });
      expect(open(signed({ ...genuine, leaf: other }, { count }))).toEqual({ count });
    }
    expect(open(signed(genuine, {}))).toEqual({});
    const x5c = [leaf, otherIssuer, root].map(({ der }) => der.toString('base64'));
    expect(() => open(signed(genuine, {}, { x5c }))).toThrow(noChain);
    const stolen = { ...genuine, leaf: { ...ofOther, der: leaf.der } };
    expect(() => open(signed(stolen, {}))).toThrow('its signature is wrong');
  });

  it('trust nobody where no root is named', () => {
    expect(() => new AppleSignatures([], clock).open(signed(genuine, {}))).toThrow(untrusted);
  });

  it('refuse what is none, as a fault of nobody here', () => {
    const x5c = [leaf, issuer, root].map(({ der }) => der.toString('base64'));
    const headers = [
      { alg: 'ES256' },
      { alg: 'ES256', x5c: x5c.slice(0, 2) },
      { alg: 'ES256', x5c: [1, 2, 3] },
      { alg: 'ES256', x5c: ['AAAA', 'AAAA', 'AAAA'] },
      { alg: 'ES256', x5c: [x5c[0], 'MIIB', x5c[2]] },
      [],
      'text',
      null,
    ];
    const texts = ['..', 'a.b.c', ...headers.map((header) => `${encode(header)}.${encode({})}.AAAA`)];
    for (const text of [...texts, signed(genuine, 'no object'), signed(genuine, [1])]) {
      expect(() => open(text), text.slice(0, 80)).toThrow(
        expect.objectContaining({
          code: 2,
          isServerFault: false,
          message: expect.stringMatching(/^JWS verification failed: /),
        }),
      );
    }
  });

  it('of what was signed as a whole need no second look', () => {
    expect(openEnclosed(`x.${encode({ a: 1 })}.y`)).toEqual({ a: 1 });
    expect(() => openEnclosed('nothing')).toThrow('signed data is malformed');
  });
});

describe('the roots that are trusted by default', () => {
  it('do not include what anybody can make', async () => {
    const { iapOptions } = await import('../../../platform/config-options-iap.ts');
    const option = iapOptions.find(({ key }) => key === 'iap.apple.root_fingerprints');
    const fingerprints = option?.default as readonly string[];
    expect(fingerprints).toHaveLength(1);
    expect(fingerprints[0]).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    expect(() => new AppleSignatures(fingerprints, new ManualClock(Date.now())).open(signed(genuine, {}))).toThrow(
      'its root certificate is not trusted',
    );
  });
});
