"""Run under torchrun: the command line, each rank in a folder of its own. Arguments: a FOLDER a rank, --, VERB…"""

import os
import sys

from dcam_dist.__main__ import main
from dcam_dist.launchers import read_launch

if __name__ == "__main__":
    at = sys.argv.index("--")
    os.chdir(sys.argv[1 + read_launch().rank])
    sys.argv[1:] = sys.argv[at + 1 :]
    sys.exit(main())
