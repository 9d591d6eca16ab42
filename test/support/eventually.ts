/**
 * Repeats an assertion until it holds, and throws its last error when the deadline passes.
 * The deadline only bounds a failing test; a passing one waits no longer than it must.
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  deadlineMs = 20_000,
): Promise<T> {
  const until = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
