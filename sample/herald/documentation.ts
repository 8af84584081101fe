import { applyDecorators } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import {
  ApiBadGatewayResponse,
  ApiBadRequestResponse,
  ApiBody,
  ApiCreatedResponse,
  ApiForbiddenResponse,
  ApiNotFoundResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  DocumentBuilder,
  SwaggerModule,
} from '@nestjs/swagger';
import { createServiceAuthDocument } from 'nestjs-service-auth/openapi';
import { CENSUS_USERS, SERVICE_URIS } from '../setup/services.js';

const USER = { type: 'string', format: 'uri', example: `${CENSUS_USERS}42/` };
const TYPE = { type: 'string', enum: ['welcome-message'] };
const ID = '00000000-0000-4000-8000-000000000000';
const URI = { type: 'string', format: 'uri', example: `${SERVICE_URIS.herald}notification/${ID}/` };

const ORDER = {
  type: 'object',
  required: ['user', 'type'],
  properties: { user: USER, type: TYPE },
};
const NOTIFICATION = {
  type: 'object',
  required: ['uri', 'user', 'type'],
  properties: { uri: URI, user: USER, type: TYPE },
};

/** What `POST /notification/` takes and answers, besides what the guard says. */
export function ApiCreateNotification(): MethodDecorator {
  return applyDecorators(
    ApiOperation({ summary: 'Notifies a user by e-mail' }),
    ApiBody({ schema: ORDER }),
    ApiCreatedResponse({
      description: 'The e-mail waits for the courier.',
      schema: NOTIFICATION,
      headers: { Location: { description: 'The URI of the notification.', schema: URI } },
    }),
    ApiBadRequestResponse({ description: 'The body is no such order.' }),
    ApiForbiddenResponse({ description: 'The user of the call may not see the one to notify.' }),
    ApiNotFoundResponse({ description: 'Census knows no such user.' }),
    ApiBadGatewayResponse({ description: 'Census did not do its part.' }),
  );
}

/** What `GET /notification/:id/` answers, besides what the guard says. */
export function ApiFindNotification(): MethodDecorator {
  return applyDecorators(
    ApiOperation({ summary: 'Reads a notification' }),
    ApiParam({ name: 'id', schema: { type: 'string', format: 'uuid' }, example: ID }),
    ApiOkResponse({ description: 'The notification.', schema: NOTIFICATION }),
    ApiNotFoundResponse({ description: 'There is no such notification.' }),
  );
}

/** Swagger UI at /docs, and the document at /docs-json. No guard stands before them: they are for people. */
export function serveDocumentation(app: NestExpressApplication): void {
  const config = new DocumentBuilder()
    .setTitle('herald.service')
    .setDescription('Notifies users by e-mail, on behalf of the user its caller names.')
    .setVersion('1.0')
    .build();
  SwaggerModule.setup('docs', app, () => createServiceAuthDocument(app, config), {
    customSiteTitle: 'herald.service',
  });
}
