import { BackendFailedError, isOwnError } from '../errors.ts'

/**
 * What a backend answers to a route. The error of a backend that somebody else wrote may name hosts, paths and credentials:
 * it becomes the `cause`, which is logged and not sent to the client.
 */
export async function fromBackend<Answer> (answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer
  } catch (error) {
    throw isOwnError(error) ? error : new BackendFailedError({ cause: error })
  }
}
