import { createServiceAuth, type ServiceAuth, type TargetOptions } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { codeOf, HERALD, outgoing } from '../support/services/peers.js';

const key = createKey();

const TARGETS: TargetOptions[] = [
  { baseUrl: 'https://census.service/', audience: 'https://census' },
  { baseUrl: 'https://gateway.service/api', audience: 'https://api.service/' },
  { baseUrl: 'https://gateway.service/api/orders/', audience: 'https://orders.service/' },
  { baseUrl: 'http://127.0.0.1:8080', audience: 'https://local.service/' },
  { baseUrl: 'http://[::1]:8080/', audience: 'https://six.service/' },
  { baseUrl: 'https://MIXED.service/Path', audience: 'https://mixed.service/' },
];

async function createSender(unknownTargets: 'refuse' | 'send-unsigned'): Promise<ServiceAuth> {
  return await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: key.privateKey },
    targets: TARGETS,
    unknownTargets,
  });
}

const MATCHING: [url: string, audience: string][] = [
  ['https://census.service', 'https://census'],
  ['https://census.service/', 'https://census'],
  ['https://census.service/a/b?c#d', 'https://census'],
  ['https://census.service:443/', 'https://census'],
  ['HTTPS://CENSUS.Service/', 'https://census'],
  ['https:\\\\census.service\\a', 'https://census'],
  ['https://census.service//evil.example/', 'https://census'],
  ['https://census.service/\\evil.example/', 'https://census'],
  ['https://census.service/@evil.example/', 'https://census'],
  ['\thttps://census.service/\n', 'https://census'],
  ['https://gateway.service/api', 'https://api.service/'],
  ['https://gateway.service/api?x', 'https://api.service/'],
  ['https://gateway.service/api#x', 'https://api.service/'],
  ['https://gateway.service/api/', 'https://api.service/'],
  ['https://gateway.service/api/users', 'https://api.service/'],
  ['https://gateway.service/api//users', 'https://api.service/'],
  ['https://gateway.service/api/ordersx', 'https://api.service/'],
  ['https://gateway.service/api/Orders', 'https://api.service/'],
  ['https://gateway.service/api/orders/../users', 'https://api.service/'],
  ['https://gateway.service/api/orders/%2e%2E/users', 'https://api.service/'],
  ['https://gateway.service/other/../api/users', 'https://api.service/'],
  ['https://gateway.service/api/orders', 'https://orders.service/'],
  ['https://gateway.service/api/orders/7', 'https://orders.service/'],
  ['https://gateway.service/api/users/../orders/7', 'https://orders.service/'],
  ['http://127.0.0.1:8080/x', 'https://local.service/'],
  ['http://0x7f.1:8080/x', 'https://local.service/'],
  ['http://[0:0::1]:8080/', 'https://six.service/'],
  ['https://mixed.service/Path/x', 'https://mixed.service/'],
];

const UNKNOWN: string[] = [
  'http://census.service/',
  'https://census.service:80/',
  'https://census.service.evil.example/',
  'https://xcensus.service/',
  'https://gateway.service/',
  'https://gateway.service/apix',
  'https://gateway.service/API',
  'https://gateway.service/api/../admin',
  'https://gateway.service/api/%2e%2e/admin',
  'https://gateway.service/api\\..\\admin',
  'https://gateway.service/%61pi/users',
  'https://gateway.service//api/users',
  'https://gateway.service/?/api/users',
  'https://gateway.service/#/api/users',
  'http://127.0.0.1/',
  'http://127.0.0.1:8081/',
  'https://mixed.service/path/x',
];

describe('the target of a URL', () => {
  it.each(MATCHING)('%s is for %s', async (url, audience) => {
    for (const words of ['refuse', 'send-unsigned'] as const) {
      const sender = await createSender(words);
      expect(sender.targetOf(url)).toMatchObject({ audience });
    }
  });

  it.each(UNKNOWN)('%s is for nobody', async (url) => {
    const refusing = await createSender('refuse');
    expect(await codeOf(async () => await refusing.sign(outgoing({ url })))).toBe('target_unknown');
    const sending = await createSender('send-unsigned');
    expect(await sending.sign(outgoing({ url }))).toBeUndefined();
  });

  it.each(['/a', '//census.service/', 'https://a:b@census.service/', 'ftp://census.service/', ''])(
    '%s is refused even where unknown targets are sent unsigned',
    async (url) => {
      const sending = await createSender('send-unsigned');
      const sign = async (): Promise<unknown> => await sending.sign(outgoing({ url }));
      expect(await codeOf(sign)).toBe('target_invalid');
    },
  );

  it('is its own base URL, as written, where no audience is named', async () => {
    for (const baseUrl of [
      'https://census.service',
      'https://census.service/',
      'https://a.service/b',
    ]) {
      const sender = await createServiceAuth({
        issuer: HERALD,
        signingKey: { privateKey: key.privateKey },
        targets: [{ baseUrl }],
      });
      expect(sender.targetOf(`${baseUrl}${baseUrl.endsWith('/') ? '' : '/'}x`)).toMatchObject({
        audience: baseUrl,
        profile: 'strict',
      });
    }
  });
});
