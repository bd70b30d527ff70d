"""``python -m kemm`` is the command ``kemm``."""

from __future__ import annotations

import sys

from kemm.cli import main

sys.exit(main())
