"""`HistoryContract`: what is kept, for how long, and what a position stands for."""

import asyncio

from bocadillo.channels.broker import Broker
from bocadillo.channels.publications import START, HistoryLimits, Position
from bocadillo.testing.contracts.listening import Heard
from bocadillo.testing.contracts.suite import KEPT, UNKEPT, BrokerSuite, new_name, why_lost


class HistoryContract(BrokerSuite):
    """Bounds and epochs; reading creates nothing."""

    def test_history_keeps_the_newest_up_to_its_count(self) -> None:
        """Memory is bounded, whoever talks how much."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            for n in range(8):
                await broker.publish(name, str(n), limits=KEPT)

            past = await broker.history(name)

            assert [known.payload for known in past.publications] == ["3", "4", "5", "6", "7"]
            assert past.newest.offset == 8

        self.run_with(scenario)

    def test_history_forgets_what_is_too_old(self) -> None:
        """What was said long ago is nobody's business."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            limits = HistoryLimits(max_age_s=0.05)
            await broker.publish(name, "old", limits=limits)

            while (past := await broker.history(name)).publications:
                await asyncio.sleep(0.01)
            await broker.publish(name, "new", limits=HistoryLimits())

            assert past.newest.offset in (0, 1)
            kept = (await broker.history(name)).publications
            assert [known.payload for known in kept] == ["new"]

        self.run_with(scenario)

    def test_history_may_be_asked_for_the_newest_few(self) -> None:
        """A late joiner sees a page, not everything."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            for n in range(5):
                await broker.publish(name, str(n), limits=KEPT)

            payloads = {
                limit: [known.payload for known in (await broker.history(name, limit=limit))[0]]
                for limit in (0, 1, 3, 5, 9)
            }

            assert payloads[0] == []
            assert payloads[1] == ["4"]
            assert payloads[3] == ["2", "3", "4"]
            assert payloads[5] == payloads[9] == ["0", "1", "2", "3", "4"]

        self.run_with(scenario)

    def test_history_since_a_position_is_exactly_what_was_missed(self) -> None:
        """Nothing twice, and nothing left out."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            positions = [await broker.publish(name, str(n), limits=KEPT) for n in range(8)]

            for last in (2, 4, 7):
                past = await broker.history(name, since=positions[last])
                assert [known.position for known in past.publications] == positions[last + 1 :]
                assert past.newest == positions[-1]
            page = await broker.history(name, since=positions[3], limit=2)

            assert [known.position for known in page.publications] == positions[4:6]

        self.run_with(scenario)

    def test_history_since_the_start_is_all_of_it(self) -> None:
        """Who joined an unknown channel can ask for what came since."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            assert await broker.history(name, since=START) == ([], START)

            position = await broker.publish(name, "first", limits=KEPT)

            past = await broker.history(name, since=START)
            assert [known.position for known in past.publications] == [position]

        self.run_with(scenario)

    def test_a_position_before_what_is_kept_is_lost(self) -> None:
        """A gap is told, never hidden."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            positions = [await broker.publish(name, str(n), limits=KEPT) for n in range(8)]

            for since in (positions[1], START):
                assert await why_lost(broker, name, since) == "trimmed"

        self.run_with(scenario)

    def test_a_position_of_another_epoch_or_of_the_future_is_lost(self) -> None:
        """Offsets can be compared in one epoch only."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            position = await broker.publish(name, "x", limits=KEPT)

            for since in (
                Position(position.offset, "another"),
                Position(position.offset + 1, position.epoch),
            ):
                assert await why_lost(broker, name, since) == "epoch changed"
            assert await why_lost(broker, new_name(), position) == "epoch changed"

        self.run_with(scenario)

    def test_the_limits_of_the_last_publication_hold(self) -> None:
        """They may be changed while people talk."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            for n in range(4):
                await broker.publish(name, str(n), limits=KEPT)

            await broker.publish(name, "4", limits=HistoryLimits(max_count=2))
            two = (await broker.history(name)).publications
            await broker.publish(name, "5", limits=UNKEPT)
            none = (await broker.history(name)).publications

            assert [known.payload for known in two] == ["3", "4"]
            assert none == []

        self.run_with(scenario)

    def test_newest_positions_of_many_channels_come_in_one_call(self) -> None:
        """After a loss most channels have missed nothing, which has to be cheap to see."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            names = [new_name() for _ in range(3)]
            first = await broker.publish(names[0], "x", limits=KEPT)
            last = await broker.publish(names[2], "x", limits=KEPT)

            assert await broker.newest(names) == [first, START, last]
            assert await broker.newest([]) == []

        self.run_with(scenario)

    # What nobody has published to

    def test_reading_leaves_a_channel_unknown(self) -> None:
        """Names that somebody asked for are as those that nobody has heard of."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()

            for _ in range(2):
                assert await broker.subscribe(name) == START
                assert await broker.history(name) == ([], START)
                assert await broker.history(name, limit=3) == ([], START)
                assert await broker.newest([name]) == [START]
                assert await broker.presence.present(name) == []
                assert await broker.presence.leave(name, "me") is None
                await broker.unsubscribe(name)

        self.run_with(scenario)

    def test_reading_creates_nothing(self) -> None:
        """Else anybody who may ask can fill the memory."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            before = await self.names_kept()

            for name in [new_name() for _ in range(50)]:
                await broker.subscribe(name)
                await broker.unsubscribe(name)
                await broker.presence.leave(name, "me")
                await broker.history(name, limit=5)
                await broker.history(name, since=START)
                await broker.newest([name])
                await broker.presence.present(name)

            assert await self.names_kept() <= before

        self.run_with(scenario)

    # Epochs

    def test_what_was_forgotten_begins_a_new_epoch(self) -> None:
        """Else new publications would be taken for some that were seen."""

        async def scenario(broker: Broker, heard: Heard) -> None:
            name = new_name()
            await broker.subscribe(name)
            old = [await broker.publish(name, str(n), limits=KEPT) for n in range(3)]
            await heard.wait_for(3)

            await self.forget_everything()
            forgotten = await broker.history(name)
            new = [await broker.publish(name, f"new {n}", limits=KEPT) for n in range(3)]
            await heard.wait_for(6)

            assert forgotten.publications == []
            assert {position.epoch for position in new} & {"", old[0].epoch} == set()
            assert [position.offset for position in new] == [1, 2, 3]
            assert heard.payloads(name) == ["0", "1", "2", "new 0", "new 1", "new 2"]
            for since in old:
                assert await why_lost(broker, name, since) == "epoch changed"
            past = await broker.history(name, since=new[0])
            assert [known.position for known in past.publications] == new[1:]

        self.run_with(scenario)
