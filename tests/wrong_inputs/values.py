"""Wrong inputs for the rules on values: types, ranges, words, units.

Belongs here: one input for each SYN-TYPE, SYN-VAL, SYN-VOC and SYN-UNIT rule. Does not: running
them.
"""

from __future__ import annotations

from tests.wrong_inputs.wrong_input import WrongInput

_NEURONS = "cid,cable_length\nn1,52000\nn2,61500\n"

VALUES = (
    WrongInput(
        "SYN-TYPE-001",
        "This lab writes NA where nothing was measured, and has not said so in the config.",
        {"neuron.csv": "cid,cable_length\nn1,52000\nn2,NA\nn3,NA\nn4,48200\n"},
        count=2,
        first="neuron.csv, row 3, column cable_length: 'NA'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-TYPE-002",
        "Half a branch.",
        {"neuron.csv": "cid,n_branches\nn1,14\nn2,11.5\n"},
        first="neuron.csv, row 3, column n_branches: '11.5'",
    ),
    WrongInput(
        "SYN-TYPE-003",
        "`maybe` in a column of true and false.",
        {"neuron.csv": "cid,is_tree\nn1,true\nn2,maybe\n"},
        first="neuron.csv, row 3, column is_tree: 'maybe'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-VAL-001",
        "A lab that writes -1 where nothing was measured, and has not said so in the config.",
        {"neuron.csv": "cid,cable_length\nn1,52000\nn2,-1\nn3,-1\n"},
        count=2,
        first="neuron.csv, row 3, column cable_length: '-1'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-VAL-002",
        "A script wrote NaN where nothing was measured.",
        {"neuron.csv": "cid,cable_length\nn1,52000\nn2,NaN\n"},
        first="neuron.csv, row 3, column cable_length: 'NaN'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-VAL-003",
        "A whole remark in a column made for one word.",
        {
            "neuron.csv": _NEURONS,
            "vesicle.csv": (
                "cid,parent_id,neurotransmitter\nv1,n1,glutamate\n"
                "v2,n2,probably glutamate because the membrane looked thick on both sides\n"
            ),
        },
        first=(
            "vesicle.csv, row 3, column neurotransmitter: 'probably glutamate because the membrane"
            " looked thick on both sides'"
        ),
    ),
    WrongInput(
        "SYN-VAL-004",
        "A long dash, as word processors put it for a hyphen.",
        {"neuron.csv": "cid,bounding_box\nn1,0-5200\nn2,0\u20136150\n"},
        first="neuron.csv, row 3, column bounding_box: '0\u20136150'",
    ),
    WrongInput(
        "SYN-VAL-005",
        "An id that slipped into the column of a count.",
        {"neuron.csv": "cid,n_branches\nn1,14\nn2,720575940621039145\n"},
        first="neuron.csv, row 3, column n_branches: '720575940621039145'",
    ),
    WrongInput(
        "SYN-VAL-006",
        "Here 0 means `no segment` at one end of a synapse, and nothing else in the probability of"
        " GABA.",
        {
            "neuron.csv": _NEURONS,
            "synapse.csv": (
                "cid,pre_synapse_id,post_synapse_id,gaba\ns1,n1,n2,0.5\ns2,0,n1,0\ns3,n2,n1,0\n"
            ),
        },
        tables={"neuron": "neuron.csv", "synapse": {"file": "synapse.csv", "missing": ["0"]}},
        count=2,
        first="synapse.csv, row 3, column gaba: '0'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-VOC-001",
        "One letter is missing in a word of SynDB's list.",
        {"neuron.csv": "cid,neuron_type\nn1,stellate\nn2,stelate\n"},
        first="neuron.csv, row 3, column neuron_type: 'stelate'",
    ),
    WrongInput(
        "SYN-VOC-002",
        "A capital letter.",
        {"neuron.csv": "cid,neuron_type\nn1,stellate\nn2,Stellate\n"},
        first="neuron.csv, row 3, column neuron_type: 'Stellate'",
    ),
    WrongInput(
        "SYN-VOC-003",
        "The short name of a transmitter.",
        {
            "neuron.csv": _NEURONS,
            "vesicle.csv": "cid,parent_id,neurotransmitter\nv1,n1,glutamate\nv2,n2,gaba\n",
        },
        first="vesicle.csv, row 3, column neurotransmitter: 'gaba'",
    ),
    WrongInput(
        "SYN-VOC-004",
        "R wrote NA where no transmitter is known.",
        {
            "neuron.csv": _NEURONS,
            "vesicle.csv": "cid,parent_id,neurotransmitter\nv1,n1,glutamate\nv2,n2,NA\n",
        },
        first="vesicle.csv, row 3, column neurotransmitter: 'NA'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-VOC-005",
        "One letter is missing in a region's name.",
        {"neuron.csv": _NEURONS},
        first="dataset.yaml, column dataset.brain_regions: 'hipocampus'",
        config={"dataset": {"brain_regions": [{"structure": "hipocampus"}]}},
    ),
    WrongInput(
        "SYN-UNIT-001",
        "Area and volume are in nanometres; the ratio of n2 is per micrometre, a thousand times too"
        " large.",
        {
            "neuron.csv": (
                "cid,mesh_surface_area,mesh_volume,mesh_area_volume_ratio\nn1,1.2e9,4.0e12,0.0003\nn2,1.5e9,5.0e12,0.3\n"
            )
        },
        first="neuron.csv, row 3, column mesh_area_volume_ratio: '0.3'",
    ),
    WrongInput(
        "SYN-UNIT-002",
        "A body of this area and volume has a sphericity of 0.9405; n2 cannot have 0.4.",
        {
            "neuron.csv": (
                "cid,mesh_surface_area,mesh_volume,mesh_sphericity\nn1,1.2957e9,4.0e12,0.9405\nn2,1.2957e9,4.0e12,0.4\n"
            )
        },
        first="neuron.csv, row 3, column mesh_sphericity: '0.4'",
    ),
    WrongInput(
        "SYN-UNIT-003",
        "Radii of vesicles, exported in micrometres.",
        {
            "neuron.csv": _NEURONS,
            "vesicle.csv": "cid,parent_id,voxel_radius\nv1,n1,0.018\nv2,n1,0.0195\nv3,n2,0.0212\n",
        },
        count=3,
        first="vesicle.csv, row 2, column voxel_radius: '0.018'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-UNIT-004",
        "Places of neurons in nanometres, and of their nuclei in voxels of 16 nm.",
        {
            "neuron.csv": (
                "cid,centroid_x,centroid_y,centroid_z\nn1,48000,32000,16000\nn2,52000,30000,18000\n"
            ),
            "nucleus.csv": (
                "cid,parent_id,centroid_x,centroid_y,centroid_z\nk1,n1,3001,2002,998\nk2,n2,3248,1875,1126\n"
            ),
        },
        count=2,
        first="nucleus.csv, row 2, column centroid_x: '3001'",
    ),
    WrongInput(
        "SYN-UNIT-005",
        "Places of neurons as x, y, z, and of their nuclei as z, y, x.",
        {
            "neuron.csv": (
                "cid,centroid_x,centroid_y,centroid_z\nn1,48000,32000,16000\nn2,52000,30000,18000\nn3,41000,35000,11000\n"
            ),
            "nucleus.csv": (
                "cid,parent_id,centroid_x,centroid_y,centroid_z\n"
                "k1,n1,16030,32020,47900\nk2,n2,18020,29950,52100\nk3,n3,10940,35010,41050\n"
            ),
        },
        count=3,
        first="nucleus.csv, row 2, column centroid_x: '16030'",
        fixed_by=1,
    ),
)
