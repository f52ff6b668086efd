/** Whether a service that was told to stop threw just because of that, as an enqueue does and whatever was given its signal. */
export function isStopReason (thrown: unknown, { aborted, reason }: AbortSignal): boolean {
  if (!aborted) return false
  if (thrown === reason) return true
  try {
    return thrown instanceof Error && (thrown.name === 'AbortError' || (thrown as { code?: unknown }).code === 'FST_JOBS_STOPPING')
  } catch {
    // A getter or a proxy of the thrown object failed: nothing marks it.
    return false
  }
}
