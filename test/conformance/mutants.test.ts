import t from 'tap'
import { durableMemory } from '../helpers/durable-memory.ts'
import { mutants } from './mutants.ts'

// What a mutant never does is not waited for long.
process.env.CONFORMANCE_DEADLINE = '2000'
const { casesFor, runCase } = await import('./index.ts')

const sound = durableMemory()
const cases = new Map(casesFor(sound).map((one) => [one.name, one]))

t.test('the suite has nothing to say about a sound backend', async (t) => {
  for (const name of new Set(mutants.map(({ foundBy }) => foundBy))) {
    await t.resolves(runCase(cases.get(name)!, sound, ''), name)
  }
})

for (const { fault, foundBy, change } of mutants) {
  t.test(`it finds that ${fault}`, async (t) => {
    await t.rejects(runCase(cases.get(foundBy)!, durableMemory(change), ''), foundBy)
  })
}
