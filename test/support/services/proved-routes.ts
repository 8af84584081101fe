import { Get } from '@nestjs/common';
import { RequireSubjectProof } from 'nestjs-service-auth';
import type { RoutePolicy } from 'nestjs-service-auth/core';

const EDGE = 'https://edge.service/';
const DAY_SECONDS = 86_400;

/** Routes that ask for proof that the user asked, whatever the configuration says: for a controller that inherits them. */
export class ProvedRoutes {
  @Get('plain')
  @RequireSubjectProof()
  plain(): string {
    return 'proved';
  }

  @Get('scope')
  @RequireSubjectProof({ scope: 'user:delete' })
  scope(): string {
    return 'for a purpose';
  }

  @Get('scopes')
  @RequireSubjectProof({ scope: ['user:read', 'user:delete'] })
  scopes(): string {
    return 'for two purposes';
  }

  @Get('acr')
  @RequireSubjectProof({ acr: ['urn:acr:gold', 'urn:acr:silver'] })
  acr(): string {
    return 'well authenticated';
  }

  @Get('edge')
  @RequireSubjectProof({ originators: [EDGE] })
  edge(): string {
    return 'vouched for by the edge';
  }

  @Get('minute')
  @RequireSubjectProof({ maxAgeSeconds: 60 })
  minute(): string {
    return 'of this minute';
  }

  @Get('job')
  @RequireSubjectProof({ maxAgeSeconds: DAY_SECONDS })
  job(): string {
    return 'of this day';
  }
}

/** What the routes ask, by the end of their target, for the core without HTTP. */
export const PROVED_POLICIES: Readonly<Record<string, RoutePolicy>> = {
  '/proved/plain': { proof: {} },
  '/proved/scope': { proof: { scopes: ['user:delete'] } },
  '/proved/scopes': { proof: { scopes: ['user:read', 'user:delete'] } },
  '/proved/acr': { proof: { acrs: [new Set(['urn:acr:gold', 'urn:acr:silver'])] } },
  '/proved/edge': { proof: { originators: [new Set([EDGE])] } },
  '/proved/minute': { proof: { maxAgeSeconds: 60 } },
  '/proved/job': { proof: { maxAgeSeconds: DAY_SECONDS } },
};
