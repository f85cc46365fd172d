import { expect, it } from 'vitest';
import { isPartMissing, keepPageWhenPartsAreMissing } from './parts';

it('renames what the router would reload the page for', () => {
  const target = new EventTarget();
  keepPageWhenPartsAreMissing(target);
  const payload = new TypeError('Failed to fetch dynamically imported module: /assets/users.js');
  expect(isPartMissing(payload)).toBe(false);
  target.dispatchEvent(Object.assign(new Event('vite:preloadError'), { payload }));
  expect(isPartMissing(payload)).toBe(true);
  expect(payload.message.startsWith('Failed to fetch')).toBe(false);
});
