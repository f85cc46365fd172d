import { describe, expect, it } from 'vitest';
import { bounded, type Chat, MOST_CHATS, MOST_MESSAGES, openChats, titleOf } from './chats';

const chat = (id: string, updated: number, count = 1, size = 1): Chat => ({
  id,
  title: id,
  updated,
  messages: Array.from({ length: count }, (_, index) => ({
    id: String(index),
    role: 'user',
    text: 'x'.repeat(size),
  })),
});

function memory(limit = Number.POSITIVE_INFINITY) {
  const values = new Map<string, string>();
  return {
    values,
    getItem: (key: string) => values.get(key) ?? null,
    setItem: (key: string, value: string) => {
      if (value.length > limit) throw new Error('quota');
      values.set(key, value);
    },
  };
}

describe('bounded', () => {
  it('keeps the latest chats and the latest messages', () => {
    const many = Array.from({ length: MOST_CHATS + 5 }, (_, index) => chat(String(index), index));
    const kept = bounded(many);
    expect(kept).toHaveLength(MOST_CHATS);
    expect(kept[0]?.id).toBe(String(MOST_CHATS + 4));
    expect(bounded([chat('a', 1, MOST_MESSAGES + 3)])[0]?.messages[0]?.id).toBe('3');
  });

  it('drops the oldest when the text in all is too much', () => {
    expect(bounded([chat('old', 1, 1, 1_500_000), chat('new', 2, 1, 1_500_000)]).map(({ id }) => id)).toEqual(
      ['new'],
    );
  });
});

describe('openChats', () => {
  it('keeps each person’s chats apart and survives reopening', () => {
    const storage = memory();
    openChats('ada', storage).put(chat('a', 1));
    expect(
      openChats('ada', storage)
        .list()
        .map(({ id }) => id),
    ).toEqual(['a']);
    expect(openChats('bob', storage).list()).toEqual([]);
  });

  it('does not lose what another tab wrote', () => {
    const storage = memory();
    const one = openChats('ada', storage);
    const two = openChats('ada', storage);
    one.put(chat('a', 1));
    two.put(chat('b', 2));
    expect(two.list().map(({ id }) => id)).toEqual(['b', 'a']);
  });

  it('keeps what fits when the browser’s storage is full', () => {
    const storage = memory(700);
    const chats = openChats('ada', storage);
    for (let index = 0; index < 8; index++) chats.put(chat(String(index), index, 1, 50));
    expect(openChats('ada', storage).list()[0]?.id).toBe('7');
  });

  it('starts empty from damaged storage', () => {
    const storage = memory();
    storage.values.set('cf_chats_ada', '{"not":"a list"');
    expect(openChats('ada', storage).list()).toEqual([]);
  });

  it('tells its listeners, and removes', () => {
    const chats = openChats('ada', memory());
    let calls = 0;
    chats.subscribe(() => calls++);
    chats.put(chat('a', 1));
    chats.remove('a');
    expect([calls, chats.list()]).toEqual([2, []]);
  });
});

describe('titleOf', () => {
  it('is one short line', () => {
    expect(titleOf(' a\n b ')).toBe('a b');
    expect(titleOf('x'.repeat(100))).toHaveLength(60);
  });
});
