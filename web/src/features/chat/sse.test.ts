import { describe, expect, it } from 'vitest';
import { createSseParser } from './sse';

const STREAM = ': hello\r\n\r\ndata: {"a":1}\n\nevent: x\ndata: two\ndata: lines\n\ndata:[DONE]\n\n';
const EVENTS = ['{"a":1}', 'two\nlines', '[DONE]'];

describe('createSseParser', () => {
  it('finds the same events wherever the stream is cut', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const push = createSseParser();
      expect([...push(STREAM.slice(0, cut)), ...push(STREAM.slice(cut))], `cut at ${cut}`).toEqual(EVENTS);
    }
  });

  it('finds them when each piece is one character', () => {
    const push = createSseParser();
    expect([...STREAM].flatMap((char) => push(char))).toEqual(EVENTS);
  });

  it('holds back an event that is not finished', () => {
    expect(createSseParser()('data: {"a"')).toEqual([]);
  });

  it('refuses an event without an end', () => {
    const push = createSseParser();
    expect(() => push(`data: ${'x'.repeat(4_000_001)}`)).toThrow();
  });
});
