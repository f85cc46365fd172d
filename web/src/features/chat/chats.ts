/** The chats of one person, kept in this browser only. */

export type MessageState = 'stopped' | 'length' | 'failed';

export interface Message {
  id: string;
  role: 'user' | 'assistant';
  text: string;
  model?: string;
  state?: MessageState;
}

export interface Chat {
  id: string;
  title: string;
  updated: number;
  messages: Message[];
}

export const MOST_CHATS = 50;
export const MOST_MESSAGES = 200;
/** Browsers give a page about five million characters. */
const MOST_CHARS = 2_000_000;
const TITLE_LENGTH = 60;

type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem'>;

export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join('');
}

export function titleOf(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH - 1)}…` : line;
}

/** Keeps what fits, the latest first: so many chats, so many messages in each, so much text in all. */
export function bounded(chats: Chat[]): Chat[] {
  const kept: Chat[] = [];
  let chars = 0;
  const latestFirst = [...chats].sort((a, b) => b.updated - a.updated).slice(0, MOST_CHATS);
  for (const chat of latestFirst) {
    const messages = chat.messages.slice(-MOST_MESSAGES);
    chars += messages.reduce((sum, message) => sum + message.text.length, 0);
    if (chars > MOST_CHARS && kept.length > 0) break;
    kept.push({ ...chat, messages });
  }
  return kept;
}

export function openChats(userId: string, storage: Storage) {
  const key = `cf_chats_${userId}`;
  let chats = read(storage, key);
  const listeners = new Set<() => void>();

  const set = (next: Chat[]) => {
    chats = bounded(next);
    // The disk of the browser may be full: then the oldest chats go until the rest fits.
    for (let keep = chats.length; keep >= 0; keep = Math.floor(keep / 2)) {
      try {
        storage.setItem(key, JSON.stringify(chats.slice(0, keep)));
        break;
      } catch {
        if (keep === 0) break;
      }
    }
    for (const listener of listeners) listener();
  };

  return {
    key,
    list: () => chats,
    find: (id: string | undefined) => chats.find((chat) => chat.id === id),
    /** Writes one chat over a fresh reading, because another tab may have written meanwhile. */
    put: (chat: Chat) => set([chat, ...read(storage, key).filter((other) => other.id !== chat.id)]),
    remove: (id: string) => set(read(storage, key).filter((chat) => chat.id !== id)),
    reload: () => {
      chats = read(storage, key);
      for (const listener of listeners) listener();
    },
    subscribe: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export type Chats = ReturnType<typeof openChats>;

function read(storage: Storage, key: string): Chat[] {
  try {
    const value: unknown = JSON.parse(storage.getItem(key) ?? '[]');
    return Array.isArray(value) ? value.filter(isChat) : [];
  } catch {
    return [];
  }
}

function isChat(value: unknown): value is Chat {
  const chat = value as Partial<Chat> | null;
  return (
    !!chat && typeof chat.id === 'string' && typeof chat.title === 'string' && Array.isArray(chat.messages)
  );
}
