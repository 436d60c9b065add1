/** How many retries an upstream may see: a share of its exchanges, so that retries cannot make an overload worse. */
export class RetryBudget {
  constructor(_share: number, _floorPerSecond: number) {}

  /** An exchange begins. */
  exchange(): void {}

  /** @returns false if the budget is used up */
  tryRetry(): boolean {
    return true;
  }
}
