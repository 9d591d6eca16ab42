/** One long-lived part: resolves when it has stopped, rejects on a defect. */
export type Part = (signal: AbortSignal) => Promise<void>;

/**
 * Runs parts until the signal aborts, then stops them group by group, first group first; the next group is
 * told to stop when the one before has stopped. The first rejection stops everything in the same order
 * and is thrown once all have ended.
 */
export async function runAll(
  signal: AbortSignal,
  groups: readonly (readonly Part[])[],
): Promise<void> {
  const end = Promise.withResolvers<undefined>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    end.resolve(undefined);
  };
  const running = groups.map((parts) => {
    const controller = new AbortController();
    const done = Promise.all(parts.map((part) => part(controller.signal).catch(fail)));
    return { controller, done };
  });
  const onAbort = (): void => end.resolve(undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  await end.promise;
  signal.removeEventListener('abort', onAbort);
  for (const { controller, done } of running) {
    controller.abort();
    await done;
  }
  if (failure !== undefined) throw failure.error;
}
