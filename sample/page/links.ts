import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A page of the project. */
export interface Link {
  readonly title: string;
  readonly href: string;
}

const ROOT = new URL('../../', import.meta.url);
const RELEASE = new URL('scripts/release.json', ROOT);

/** The files that the page links to, and serves as text while the project has no repository. */
const FILES: Readonly<Record<string, string>> = {
  README: 'README.md',
  Protocol: 'docs/protocol.md',
  Recipes: 'docs/recipes.md',
  Grants: 'docs/grants.md',
  Errors: 'docs/errors.md',
  'The guard': 'lib/nest/service-jwt.guard.ts',
};

/** At the repository of scripts/release.json, or at this page while that names none. */
export function readLinks(): readonly Link[] {
  const { repository } = JSON.parse(readFileSync(RELEASE, 'utf8')) as { repository: string };
  const base = repository === '' ? 'read' : `${repository}/blob/main`;
  return Object.entries(FILES).map(([title, path]) => ({ title, href: `${base}/${path}` }));
}

/** The text of one of these files; undefined for every other path. */
export function readLinkedFile(path: string): string | undefined {
  const isLinked = Object.values(FILES).includes(path);
  return isLinked ? readFileSync(fileURLToPath(new URL(path, ROOT)), 'utf8') : undefined;
}
