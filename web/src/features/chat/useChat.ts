import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { pb } from '../../api/client';
import { RouterError } from '../../api/errors';
import { type Chat, type Chats, type Message, newId, titleOf } from './chats';
import { streamChat } from './stream';

/** The answer that is coming in. */
export interface Live {
  chatId: string;
  text: string;
  model: string;
}

interface UseChatOptions {
  chats: Chats;
  chatId: string | undefined;
  model: string | null;
  onChatId: (id: string) => void;
  onBudget: (remaining: number) => void;
  onFinished: () => void;
}

/** Keeps the order of things: question stored, answer streamed, answer stored, failure shown. */
export function useChat({ chats, chatId, model, onChatId, onBudget, onFinished }: UseChatOptions) {
  const list = useSyncExternalStore(chats.subscribe, chats.list);
  const chat = list.find((candidate) => candidate.id === chatId);
  const [live, setLive] = useState<Live | null>(null);
  const [failure, setFailure] = useState<{ chatId: string; error: unknown } | null>(null);
  const running = useRef<AbortController | null>(null);

  useEffect(() => () => running.current?.abort(), []);
  useEffect(() => {
    const changed = (event: StorageEvent) => event.key === chats.key && chats.reload();
    window.addEventListener('storage', changed);
    return () => window.removeEventListener('storage', changed);
  }, [chats]);

  const answer = async (to: Chat, using: string, fresh: boolean) => {
    const abort = new AbortController();
    running.current = abort;
    setFailure(null);
    setLive({ chatId: to.id, text: '', model: using });
    let text = '';
    // Pieces come faster than the screen is drawn; the text is shown once a frame.
    let frame = 0;
    const show = () => {
      frame = 0;
      setLive({ chatId: to.id, text, model: using });
    };
    let state: Message['state'];
    try {
      const end = await streamChat({
        token: pb.authStore.token,
        model: using,
        messages: to.messages
          .filter((message) => message.text)
          .map(({ role, text: content }) => ({ role, content })),
        fresh,
        signal: abort.signal,
        onText: (piece) => {
          text += piece;
          frame ||= requestAnimationFrame(show);
        },
        onBudget,
      });
      if (end === 'length') state = 'length';
      if (end === 'broken') {
        state = 'failed';
        setFailure({ chatId: to.id, error: new RouterError(0, 'stream_broken', '') });
      }
    } catch (error) {
      if (abort.signal.aborted) state = 'stopped';
      else {
        state = 'failed';
        setFailure({ chatId: to.id, error });
        if (error instanceof RouterError && error.status === 401) pb.authStore.clear();
      }
    }
    cancelAnimationFrame(frame);
    // An answer that failed before its first word leaves nothing but the error.
    if (text || !state) {
      const message: Message = { id: newId(), role: 'assistant', text, model: using, state };
      chats.put({ ...to, updated: Date.now(), messages: [...to.messages, message] });
    }
    setLive(null);
    if (running.current === abort) running.current = null;
    onFinished();
  };

  const send = (text: string) => {
    if (!model || running.current) return;
    const question: Message = { id: newId(), role: 'user', text };
    const before = chat ?? { id: newId(), title: titleOf(text), messages: [], updated: 0 };
    const next: Chat = { ...before, updated: Date.now(), messages: [...before.messages, question] };
    chats.put(next);
    if (!chat) onChatId(next.id);
    void answer(next, model, false);
  };

  /** Asks again for the last question; what came of the failed answer is dropped. */
  const retry = () => {
    if (!chat || !model || running.current) return;
    const last = chat.messages.at(-1);
    const next = last?.role === 'assistant' ? { ...chat, messages: chat.messages.slice(0, -1) } : chat;
    chats.put(next);
    void answer(next, model, true);
  };

  const stop = useCallback(() => running.current?.abort(), []);
  const remove = (id: string) => {
    if (live?.chatId === id) running.current?.abort();
    chats.remove(id);
  };

  const last = chat?.messages.at(-1);
  return {
    list,
    chat,
    live: live && live.chatId === chatId ? live : null,
    busy: live !== null,
    error: failure && failure.chatId === chatId ? failure.error : null,
    /** The page was left, or closed, before the answer came: the last question stands alone. */
    unanswered: !live && last?.role === 'user',
    send,
    retry,
    stop,
    remove,
  };
}
