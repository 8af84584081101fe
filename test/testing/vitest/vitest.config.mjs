import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** @param {string} path */
const source = (path) => fileURLToPath(new URL(`../../../lib/${path}`, import.meta.url));

/** As an application has it; the package is its sources, as in jest.config.js. */
export default defineConfig({
  test: {
    globals: true,
    include: ['**/*.test.ts', '**/*.e2e-spec.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
  resolve: {
    alias: [
      { find: /^nestjs-service-auth$/, replacement: source('index.ts') },
      { find: /^nestjs-service-auth\/([a-z]+)$/, replacement: source('$1.ts') },
    ],
  },
});
