import { type BusFixture, BusRun, type Contract, type OpenFixture, Received } from '../support/bus.ts';
import { sharesItsEvents } from './bus-contract-consumers.ts';
import { delivers } from './bus-contract-delivery.ts';
import { givesUp } from './bus-contract-discard.ts';
import { setsFailuresAside } from './bus-contract-failures.ts';

/** A broker may have to be fetched first. */
const FIXTURE_LIMIT_MS = 300_000;

/** What every bus promises (events/bus/bus.ts), proved on a real one. */
export function busContract(name: string, open: OpenFixture): void {
  describe(`the bus contract on ${name}`, function () {
    this.timeout(CASE_LIMIT_MS);
    let fixture: BusFixture;
    let run: BusRun;
    before(async function () {
      this.timeout(FIXTURE_LIMIT_MS);
      fixture = await open(this);
    });
    after(() => fixture?.close()); // not opened where the suite is skipped
    beforeEach(() => {
      run = new BusRun(fixture);
    });
    afterEach(() => run.close());

    const contract: Contract = {
      start: () => ({ fixture, run, bus: run.open(), received: new Received(run) }),
    };
    delivers(contract);
    setsFailuresAside(contract);
    givesUp(contract);
    sharesItsEvents(contract);
  });
}

const CASE_LIMIT_MS = 60_000;
