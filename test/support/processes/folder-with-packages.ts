import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..', '..');

/** A temporary folder whose files import the packages that specs can import. */
export interface FolderWithPackages {
  readonly path: string;
  remove(): void;
}

/** @param name what the folder is for */
export function createFolderWithPackages(name: string): FolderWithPackages {
  const home = mkdtempSync(join(tmpdir(), `nestjs-service-auth-${name}-`));
  const path = join(home, 'test');
  mkdirSync(path);
  // The packages of tools/tests are searched first, then those of the project, as below test/.
  symlinkSync(join(ROOT, 'test/node_modules'), join(path, 'node_modules'), 'junction');
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'), 'junction');
  return { path, remove: () => rmSync(home, { recursive: true }) };
}
