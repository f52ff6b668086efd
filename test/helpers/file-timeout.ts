import t from 'tap'

// For files with many long tests. tap ends a file after a time, however busy the machine is; here that time begins anew with
// the end of every test, so that only a file that stands still is ended.
const { TAP_TIMEOUT = '300' } = process.env
t.afterEach(() => { t.setTimeout(Number(TAP_TIMEOUT) * 1000) })
