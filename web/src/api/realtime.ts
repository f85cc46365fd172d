import { useEffect, useEffectEvent } from 'react';
import { pb } from './client';
import type { CollectionName, Collections } from './types';

/** Calls back for each event of a collection (or of one record) while the component is shown. */
export function useRealtime<C extends CollectionName>(
  collection: C,
  topic: string | undefined,
  onEvent: (action: string, record: Collections[C]) => void,
) {
  const handle = useEffectEvent(onEvent);
  useEffect(() => {
    if (!topic) return;
    let ended = false;
    let unsubscribe: (() => Promise<void>) | undefined;
    pb.collection(collection)
      .subscribe<Collections[C]>(topic, (event) => handle(event.action, event.record))
      .then((end) => {
        // The component may be gone before the server answered the subscription.
        if (ended) void end().catch(() => undefined);
        else unsubscribe = end;
      })
      // Without realtime the page still works; it only does not refresh by itself.
      .catch(() => undefined);
    return () => {
      ended = true;
      void unsubscribe?.().catch(() => undefined);
    };
  }, [collection, topic]);
}
