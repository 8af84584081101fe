const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** A number of seconds in its two largest units: `2 min 3 s`. */
export function describeSeconds(seconds: number): string {
  let left = Math.round(Math.abs(seconds));
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(' ') || '0 s';
}

/** A moment relative to another, both in seconds since the epoch: `in 48 s`, `12 s ago`. */
export function describeMoment(atSeconds: number, nowSeconds: number): string {
  const apart = atSeconds - nowSeconds;
  const words = describeSeconds(apart);
  if (words === '0 s') return 'just now';
  return apart > 0 ? `in ${words}` : `${words} ago`;
}
