import type { Clock } from '../types/backend.ts'

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, delay) => setTimeout(callback, delay).unref(),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout)
}
