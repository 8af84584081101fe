import { describeTwoCopies } from './two-copies.js';

describeTwoCopies('installed twice', (second) => second.path('lib/index.ts'));
