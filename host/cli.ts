#!/usr/bin/env node
import { outputExitCode, watchOutput } from './cli/output.ts'
import { main } from './cli/program.ts'

watchOutput()
const exitCode = await main(process.argv)
process.exitCode = outputExitCode() ?? exitCode
