from tests.airflow.deployment import Deployment
from tests.runs.world import World
from demo.recoup import seed


def test_x(deployment: Deployment, world: World) -> None:
    seed(world.address.emulator_host, world.address.project, scale=0.02)
    import time
    t=time.time()
    for v in ("v001", "v002", "v003"):
        o = deployment.run(v)
        print(o.state, o.tasks, o.tries, {k: [len(x) for x in v] for k, v in o.xcoms.items()}, time.time()-t)
        print(o.xcoms)
    o = deployment.run("v003", direction="down")
    print(o)
    print(deployment.clear(o, "apply"))
