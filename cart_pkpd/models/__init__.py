"""Published models of CAR-T cell kinetics, one file per publication.

``models.names()`` and ``models.table()`` list them, ``models.get("stein2019")`` gives one,
``models.describe("stein2019")`` its equations, numbers and sources; a class of your own that
derives from :class:`OdeModel` or :class:`ClosedFormModel` works in the same way; its equations
take ``exp``, ``log``, ``where`` and so on from ``models.math``.
"""

from cart_pkpd.models import math as math
from cart_pkpd.models._closed import ClosedFormModel as ClosedFormModel
from cart_pkpd.models._comedication import corticosteroids as corticosteroids
from cart_pkpd.models._comedication import tocilizumab as tocilizumab
from cart_pkpd.models._compose import Part as Part
from cart_pkpd.models._cytokines import CYTOKINES as CYTOKINES
from cart_pkpd.models._cytokines import Cytokine as Cytokine
from cart_pkpd.models._cytokines import cytokines as cytokines
from cart_pkpd.models._declare import Model as Model
from cart_pkpd.models._declare import get as get
from cart_pkpd.models._declare import names as names
from cart_pkpd.models._describe import Description as Description
from cart_pkpd.models._describe import cite as cite
from cart_pkpd.models._describe import describe as describe
from cart_pkpd.models._describe import table as table
from cart_pkpd.models._ode import Covariate as Covariate
from cart_pkpd.models._ode import Input as Input
from cart_pkpd.models._ode import OdeModel as OdeModel
from cart_pkpd.models._ode import State as State
from cart_pkpd.models._parameters import CONFIDENCE as CONFIDENCE
from cart_pkpd.models._parameters import Fixed as Fixed
from cart_pkpd.models._parameters import Fraction as Fraction
from cart_pkpd.models._parameters import Parameter as Parameter
from cart_pkpd.models._parameters import ParameterSet as ParameterSet
from cart_pkpd.models._parameters import Positive as Positive
from cart_pkpd.models._parameters import Real as Real
from cart_pkpd.models._parameters import Reference as Reference
from cart_pkpd.models._tumour import tumour as tumour
from cart_pkpd.models.barros2021 import Barros2021 as Barros2021
from cart_pkpd.models.brummer2022 import Brummer2022 as Brummer2022
from cart_pkpd.models.chaudhury2020 import Chaudhury2020Ec50 as Chaudhury2020Ec50
from cart_pkpd.models.chaudhury2020 import Chaudhury2020FirstOrder as Chaudhury2020FirstOrder
from cart_pkpd.models.chaudhury2020 import Chaudhury2020PredatorPrey as Chaudhury2020PredatorPrey
from cart_pkpd.models.dual_antigen import DualAntigen as DualAntigen
from cart_pkpd.models.effector_memory import EffectorMemory as EffectorMemory
from cart_pkpd.models.hanson2016 import Hanson2016 as Hanson2016
from cart_pkpd.models.hardiansyah2019 import Hardiansyah2019 as Hardiansyah2019
from cart_pkpd.models.kimmel2021 import Kimmel2021 as Kimmel2021
from cart_pkpd.models.kirouac2023 import Kirouac2023 as Kirouac2023
from cart_pkpd.models.leon_triana2020 import LeonTriana2020Ball as LeonTriana2020Ball
from cart_pkpd.models.leon_triana2020 import LeonTriana2020BallSource as LeonTriana2020BallSource
from cart_pkpd.models.leon_triana2021 import LeonTriana2021Dual as LeonTriana2021Dual
from cart_pkpd.models.leon_triana2021 import LeonTriana2021Solid as LeonTriana2021Solid
from cart_pkpd.models.liu2021 import Liu2021 as Liu2021
from cart_pkpd.models.liu_l2022 import LiuL2022 as LiuL2022
from cart_pkpd.models.liu_l2022 import LiuL2022Negative as LiuL2022Negative
from cart_pkpd.models.mueller_schoell2021 import MuellerSchoell2021 as MuellerSchoell2021
from cart_pkpd.models.ogasawara2021 import Ogasawara2021 as Ogasawara2021
from cart_pkpd.models.owens_bozic2021 import OwensBozic2021 as OwensBozic2021
from cart_pkpd.models.paixao2022 import Paixao2022 as Paixao2022
from cart_pkpd.models.park2025 import Park2025 as Park2025
from cart_pkpd.models.sahoo2020 import Sahoo2020Carrgo as Sahoo2020Carrgo
from cart_pkpd.models.santurio2025 import Santurio2025 as Santurio2025
from cart_pkpd.models.singh2021 import Singh2021 as Singh2021
from cart_pkpd.models.stein2019 import Stein2019 as Stein2019
from cart_pkpd.models.stein2019 import Stein2019Comedication as Stein2019Comedication
from cart_pkpd.models.wu2022 import Wu2022 as Wu2022
from cart_pkpd.models.wu2025 import Wu2025 as Wu2025

__all__ = [
    "CONFIDENCE",
    "CYTOKINES",
    "Barros2021",
    "Brummer2022",
    "Chaudhury2020Ec50",
    "Chaudhury2020FirstOrder",
    "Chaudhury2020PredatorPrey",
    "ClosedFormModel",
    "Covariate",
    "Cytokine",
    "Description",
    "DualAntigen",
    "EffectorMemory",
    "Fixed",
    "Fraction",
    "Hanson2016",
    "Hardiansyah2019",
    "Input",
    "Kimmel2021",
    "Kirouac2023",
    "LeonTriana2020Ball",
    "LeonTriana2020BallSource",
    "LeonTriana2021Dual",
    "LeonTriana2021Solid",
    "Liu2021",
    "LiuL2022",
    "LiuL2022Negative",
    "Model",
    "MuellerSchoell2021",
    "OdeModel",
    "Ogasawara2021",
    "OwensBozic2021",
    "Paixao2022",
    "Parameter",
    "ParameterSet",
    "Park2025",
    "Part",
    "Positive",
    "Real",
    "Reference",
    "Sahoo2020Carrgo",
    "Santurio2025",
    "Singh2021",
    "State",
    "Stein2019",
    "Stein2019Comedication",
    "Wu2022",
    "Wu2025",
    "cite",
    "corticosteroids",
    "cytokines",
    "describe",
    "get",
    "math",
    "names",
    "table",
    "tocilizumab",
    "tumour",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot
