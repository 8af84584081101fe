// Lets files below bench/ find the packages of this folder: npm runs it after each installation.
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const link = join(import.meta.dirname, '..', '..', 'bench', 'node_modules');
rmSync(link, { force: true });
symlinkSync(join('..', 'tools', 'bench', 'node_modules'), link, 'dir');
