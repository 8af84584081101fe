import { join } from 'node:path';
import { describeTwoCopies } from './two-copies.js';

const COMMON_JS = join(import.meta.dirname, '..', '..', 'dist', 'cjs', 'index.js');

describeTwoCopies('imported and required', () => COMMON_JS);
