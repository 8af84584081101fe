/** What the page shows and plays on: a `Stage` of the story. */
export const STAGE = Symbol('STAGE');
