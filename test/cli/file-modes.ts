import { whereThereIs } from '../support/processes/where-there-is.js';

/** Tests of who may read a file. Windows has no modes. */
export const itWithFileModes = whereThereIs(process.platform !== 'win32', 'file modes', it);
