import { memory } from '../../../lib/index.ts'

export const connect = () => memory({ serialize: true })
export const remove = async (): Promise<void> => {}
