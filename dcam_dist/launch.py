"""``python -m dcam_dist.launch [OPTIONS OF TORCHRUN] -m dcam_dist train …``: torchrun as a scheduler needs it.

It is torchrun's own agent, with these differences:

- The exit code is the ranks' own: 75 asks for a requeue, 2, 3 and 4 say what is wrong. torchrun gives 1 for all.
- What a rank has said is not followed by a second report.
- SIGTERM and SIGUSR1 are passed on to the ranks and nothing else is done: they save and leave with 75, and may take as
  long as the scheduler lets them. torchrun kills ranks 30 s after SIGTERM, and SIGUSR1 kills torchrun itself. Ctrl-C is
  passed on as well; at that they end without a save.
- When a rank has failed, the others have 5 s to say so before torchrun ends them; stopped ones are killed.
- On one node it opens no port; on several it fills in what the options leave open, so that the same line works on each,
  and says in one line why they could not meet.
- When all ranks of this node have ended and the agent has not within 15 s, as when the node is gone that hosts the
  rendezvous, it is ended.

Ranks end with their launcher, even when it is killed; that is so under torchrun, too.
"""

import os
import signal
import sys

STOPPED = 75


def main() -> int:
    """Run the launcher; returns the exit code of the ranks."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # torch's own words on a failure, with C++ traces
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: os._exit(STOPPED))  # while torch is loaded there is nobody to pass them on to
    from dcam_dist.distributed.agent import launch

    return launch(sys.argv[1:])


if __name__ == "__main__":
    ended_with = main()
    sys.stdout.flush()
    os._exit(ended_with)  # nothing that is left of the agent may hold up the end
