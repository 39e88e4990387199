"""What every broker and presence store has to hold to, as suites of tests to subclass.

```python
class TestMyBroker(BrokerContract):
    is_shared = True  # two that `make` returns are of one world

    def make(self) -> Broker:
        return MyBroker("my://localhost")
```

pytest collects the subclasses; the suites need nothing of pytest themselves, nor a plugin
for asyncio.
"""

from bocadillo.testing.contracts.broker import BrokerContract
from bocadillo.testing.contracts.listening import Heard
from bocadillo.testing.contracts.presence import PresenceContract

__all__ = ["BrokerContract", "Heard", "PresenceContract"]
