import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServiceAuth, type ServiceAuth } from 'nestjs-service-auth/core';
import { readJsonObject } from '../../lib/core/unambiguous-json.js';
import { stoppedStore } from '../support/clocks/clocks.js';
import { encode, signBytes } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { findFault, type OracleReceiver } from '../support/properties/oracle.js';
import { readRequest, splitLine, type TextRequest } from './request-text.js';
import { assertSameVerdict, laterRefusalOf } from './verdict.js';

const NOW_SECONDS = 1_800_000_000;
const CENSUS = 'https://census.service/';
const heraldKey = createKey('ES256');
const veteranKey = createKey('EdDSA');
const SUBJECTS = ['https://census.service/user/', 'urn:census:'];

const RECEIVER: OracleReceiver = {
  audiences: [CENSUS, 'https://people.service/'],
  issuers: [
    {
      issuer: 'https://herald.service/',
      profile: 'strict',
      algorithm: 'ES256',
      keyId: heraldKey.keyId,
      publicKey: heraldKey.publicKey,
      subjects: SUBJECTS,
    },
    {
      issuer: 'https://veteran.service/',
      profile: 'original',
      algorithm: 'EdDSA',
      keyId: veteranKey.keyId,
      publicKey: veteranKey.publicKey,
    },
  ],
  nowSeconds: NOW_SECONDS,
  toleranceSeconds: 5,
  maxStrictLifetimeSeconds: 300,
};

let census: Promise<ServiceAuth> | undefined;
let replayStore = stoppedStore();

const createCensus = async (): Promise<ServiceAuth> =>
  await createServiceAuth({
    issuer: CENSUS,
    audience: ['https://people.service/'],
    trustedIssuers: RECEIVER.issuers.map(({ issuer, profile, publicKey, algorithm, subjects }) => ({
      issuer,
      profile,
      keys: [{ publicKey, algorithms: [algorithm === 'ES256' ? 'ES256' : 'EdDSA'] }],
      subjects,
    })),
    replayStore: { recordUse: (use) => replayStore.recordUse(use) },
    now: () => NOW_SECONDS * 1000,
  });

/**
 * Input: a JOSE header on the first line, claims on the second, then the request. What they say is signed
 * properly: `$kid`, `$req`, `$md5`, `$sha256`, `$sha384` and `$sha512` stand for what is right here.
 */
export async function fuzz(data: Uint8Array): Promise<void> {
  const [header, afterHeader] = splitLine(Buffer.from(data).toString('latin1'));
  const [claims, text] = splitLine(afterHeader);
  const request = readRequest(text);
  const rawHeaders = [...request.rawHeaders, 'JWT', sign(header, claims, request)];
  const signed = { ...request, rawHeaders };
  replayStore = stoppedStore();
  const { verify } = await bound();
  const refusal = await laterRefusalOf(async () => await verify(signed));
  assertSameVerdict(refusal, await findFault(signed, RECEIVER));
  if (refusal !== undefined) return;
  const again = await laterRefusalOf(async () => await verify(signed));
  const isUsedOnce = 'jti' in readJsonObject(claimsOf(rawHeaders.at(-1)));
  assert(again === (isUsedOnce ? 'token_replayed' : undefined), `the second use: ${again}`);
}

async function bound() {
  census ??= createCensus();
  const service = await census;
  return { verify: async (request: TextRequest) => await service.verify(request) };
}

const claimsOf = (token = ''): Buffer => Buffer.from(token.split('.')[1] ?? '', 'base64url');

function sign(header: string, claims: string, request: TextRequest): string {
  const key = header.includes('Ed') ? veteranKey : heraldKey;
  const digestOf = (algorithm: string) => createHash(algorithm).update(request.body).digest('hex');
  const filled = claims
    .replaceAll('$req', () => `${request.method} ${request.target}`)
    .replaceAll(/\$(md5|sha(?:256|384|512))/g, (_all, algorithm: string) => digestOf(algorithm));
  const bytes = (text: string) => encode(Buffer.from(text, 'latin1'));
  const input = `${bytes(header.replaceAll('$kid', key.keyId))}.${bytes(filled)}`;
  return `${input}.${encode(signBytes(input, key))}`;
}
