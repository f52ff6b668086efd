import t from 'tap'
import { allPrograms, typeErrors } from '../helpers/programs.ts'

t.test('the programs of all pages are right by their types', async (t) => {
  const programs = await allPrograms()
  t.ok(programs.length > 10, `${programs.length} programs`)
  t.equal(await typeErrors(t, programs), '')
})
