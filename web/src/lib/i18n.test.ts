import { describe, expect, it } from 'vitest';
import { de } from '../locales/de';
import { en } from '../locales/en';
import { pickLanguage } from './i18n';

function flat(texts: object, prefix = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(texts)) {
    if (typeof value === 'string') found.set(prefix + key, value);
    else for (const [inner, text] of flat(value as object, `${prefix}${key}.`)) found.set(inner, text);
  }
  return found;
}

const placeholders = (text: string) => [...text.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]).sort();

describe('texts', () => {
  const english = flat(en);
  const german = flat(de);

  it('has the same keys in both languages', () => {
    expect([...german.keys()].sort()).toEqual([...english.keys()].sort());
  });

  it('has no empty text, and the same placeholders in both', () => {
    for (const [key, text] of english) {
      expect(text, key).not.toBe('');
      expect(german.get(key), key).not.toBe('');
      expect(placeholders(german.get(key) ?? ''), key).toEqual(placeholders(text));
    }
  });
});

describe('pickLanguage', () => {
  it.each([
    [null, ['de-AT', 'en'], 'de'],
    [null, ['fr', 'en-US'], 'en'],
    [null, ['fr'], 'en'],
    ['en', ['de'], 'en'],
    ['xx', ['de'], 'de'],
  ] as const)('remembered %s, wanted %j: %s', (remembered, wanted, language) => {
    expect(pickLanguage(remembered, wanted)).toBe(language);
  });
});
