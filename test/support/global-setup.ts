/** Runs once before all tests. */
export default function setUp(): void {}
