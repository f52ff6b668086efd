import type { JobEnvelope } from '../../lib/backends/index.ts'
import type { Backend } from '../../lib/index.ts'

/** Stores a job as another version of the app would have: past the definitions of this one. */
export async function enqueueFromElsewhere (backend: Backend, job: Pick<JobEnvelope, 'id' | 'name' | 'payload'>): Promise<void> {
  await backend.enqueue('default', [{ ...job, attempt: 1, enqueuedAt: Date.now(), correlationId: undefined, options: undefined }], {})
}
