"""`python -m firestore_migrations.cli`, for when the console script is not on the path."""

import sys

from firestore_migrations.cli import main

sys.exit(main())
