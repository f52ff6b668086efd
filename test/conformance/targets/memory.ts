import { memory } from '../../../lib/index.ts'

export const connect = () => memory()
export const remove = async (): Promise<void> => {}
