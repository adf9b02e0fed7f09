/** What the service may know of measuring the stages of a backup. */

export { type StageSpeed, stageSpeeds } from '../pipeline/stage-speeds.ts'
