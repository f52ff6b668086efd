import type { ConformanceTarget } from '../../test/conformance/index.ts'
import { arrays } from './index.ts'

export const connect: ConformanceTarget['connect'] = () => arrays()
export const remove: ConformanceTarget['remove'] = async () => {}
