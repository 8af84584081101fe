/** A text that nobody hides. */
export const PLAIN_TEXT = 'shown-because-nobody-hid-it';
