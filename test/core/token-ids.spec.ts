import { TokenIds } from 'nestjs-service-auth/core';

describe('token ids', () => {
  it('are 32 characters of base64url, and none comes twice, from one draw to the next', () => {
    const ids = new TokenIds();
    const given = Array.from({ length: 500 }, () => ids.next());
    expect(new Set(given).size).toBe(500);
    expect(given.filter((id) => !/^[A-Za-z0-9_-]{32}$/.test(id))).toEqual([]);
  });

  it('are those of one maker alone', () => {
    const [one, other] = [new TokenIds(), new TokenIds()];
    expect(one.next()).not.toBe(other.next());
  });
});
